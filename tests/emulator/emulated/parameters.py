"""To be written."""
def value(world, name):
    return None
