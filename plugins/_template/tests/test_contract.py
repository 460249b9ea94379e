"""The contract of every preconditioner, on this one; found by its entry point."""

from precond_gm.preconditioners import REGISTRY
from precond_gm.testing import check_preconditioner


def test_contract() -> None:
    """Oracles: the identity for round trips, autograd for log-determinants (see the check)."""
    assert "template.arcsinh" in REGISTRY.names()
    check_preconditioner("template.arcsinh")
