"""zuko flows as preconditioners."""
