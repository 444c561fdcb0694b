"""The steps of a collection, one module each; `pipeline` knows their order."""
