"""Mathematics without any opinion about parts: rows, moments, spectra, conversions, noise."""
