"""What each engine calls things: one table module per engine, and the few words the tables are written in."""

# The engines that can be asked for. Each is a module here, with an `ENGINE`.
ENGINES = ("sglang", "vllm", "tgi")
