"""Networks: the DSTformer encoder and the heads that go on it."""
