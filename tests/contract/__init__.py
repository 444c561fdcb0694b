"""`make contract`: schemathesis asks the API of `make serve` whatever its own OpenAPI document allows, and forbids."""
