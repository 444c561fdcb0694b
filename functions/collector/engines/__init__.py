"""What each engine calls things: one table module per engine, and the few words the tables are written in."""
