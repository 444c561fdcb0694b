"""What the functions are made of: under which licences, and whether any of it is known to be vulnerable."""
