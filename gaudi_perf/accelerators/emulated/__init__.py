"""The emulated Gaudi as an accelerator: it differs from a Gaudi on the controller's side alone."""
