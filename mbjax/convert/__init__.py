"""Weights to and from PyTorch: one name table for both directions, and the files around it.

names: the table. params: state dict <-> parameter tree. optimizer_state: AdamW's moments.
torch_io, safetensors_io: the files, as a WeightFile of `array_types`. read: anything that holds
weights. recognise: which network it is. write: where they go. twin: the network in plain PyTorch,
for the parity report. load, parity, export: what users call. May import training (checkpoints),
models and what is below.
"""
