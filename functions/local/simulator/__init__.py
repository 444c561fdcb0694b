"""A simulated SGLang server: made-up traffic through a small scheduler, shown on the page that a real server shows.

traffic → rank (with its prefix_cache and tally) → page → server
"""
