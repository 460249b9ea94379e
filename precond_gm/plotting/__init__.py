"""Drawing: arrays in, matplotlib figures out. Headless; matplotlib loads inside the functions."""
