"""The preset `paper`: the network of Wang et al., CVPR 2021."""
