"""Networks, and the adaptor that calls anyone's network as a field ``(t, z, label)``."""

from torch import nn

from precond_gm.models.adapt import AdaptedField, CallForm, adapt
from precond_gm.models.mlp import MLP
from precond_gm.models.unet import UNet
from precond_gm.registry import Registry

REGISTRY: Registry[nn.Module] = Registry("precond_gm.models", "model", nn.Module)

__all__ = ["MLP", "REGISTRY", "AdaptedField", "CallForm", "UNet", "adapt"]
