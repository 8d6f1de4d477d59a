"""Layers: frozen dataclasses that are trees of arrays, in plain NumPy, with nothing written by hand for the way back."""

from __future__ import annotations

from chainrule.nn.activations import (
    ACTIVATIONS,
    elu,
    gelu,
    identity,
    leaky_relu,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)  # fmt: skip
from chainrule.nn.attention import (
    MultiHeadAttention,
    SelfAttention,
    attention_weights,
    causal_mask,
    masked_softmax,
    padding_mask,
    scaled_dot_product_attention,
)
from chainrule.nn.backprop import Backpropagation, backpropagation
from chainrule.nn.conv import AvgPool1d, AvgPool2d, Conv1d, Conv2d, MaxPool1d, MaxPool2d
from chainrule.nn.dense import MLP, Activation, Dense, Flatten, Sequential
from chainrule.nn.diagnostics import Diagnosis, Training, diagnose, gradient_norms, observe
from chainrule.nn.dropout import Dropout, DropoutScaledAtInference
from chainrule.nn.effects import Effects, deep_net, effects
from chainrule.nn.embedding import Embedding
from chainrule.nn.init import (
    INITIALIZERS,
    Initializer,
    glorot_normal,
    glorot_uniform,
    he_normal,
    he_uniform,
    lecun_normal,
    lecun_uniform,
    orthogonal,
)  # fmt: skip
from chainrule.nn.module import Module, learned, with_statistics
from chainrule.nn.norm import BatchNorm, GroupNorm, LayerNorm, RMSNorm
from chainrule.nn.positional import LearnedPositions, SinusoidalPositions, sinusoidal
from chainrule.nn.residual import Residual, TransformerBlock

__all__ = [
    "ACTIVATIONS", "INITIALIZERS", "MLP", "Activation", "AvgPool1d", "AvgPool2d", "Backpropagation", "BatchNorm", "Conv1d",
    "Conv2d", "Dense", "Diagnosis", "Dropout", "DropoutScaledAtInference", "Effects", "Embedding", "Flatten", "GroupNorm",
    "Initializer", "LayerNorm", "LearnedPositions", "MaxPool1d", "MaxPool2d", "Module", "MultiHeadAttention", "RMSNorm",
    "Residual", "SelfAttention", "Sequential", "SinusoidalPositions", "Training", "TransformerBlock", "attention_weights",
    "backpropagation", "causal_mask", "deep_net", "diagnose", "effects", "elu", "gelu", "glorot_normal", "glorot_uniform",
    "gradient_norms", "he_normal", "he_uniform", "identity", "leaky_relu", "learned", "lecun_normal", "lecun_uniform",
    "masked_softmax", "observe", "orthogonal", "padding_mask", "relu", "scaled_dot_product_attention", "sigmoid", "silu",
    "sinusoidal", "softmax", "softplus", "tanh", "with_statistics",
]  # fmt: skip
