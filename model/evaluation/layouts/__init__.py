"""How the known data sets lie on disk; `model.evaluation.dataset` chooses among them."""
