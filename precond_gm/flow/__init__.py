"""The flow: the only place that knows all parts, and ``wrap``, which puts it round a model."""

from precond_gm.flow.decorate import unwrapped
from precond_gm.flow.preconditioned import PreconditionedFlow
from precond_gm.flow.wrap import wrap

__all__ = ["PreconditionedFlow", "unwrapped", "wrap"]
