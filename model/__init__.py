"""The network of scene text retrieval; `model.encoder` is its door."""
