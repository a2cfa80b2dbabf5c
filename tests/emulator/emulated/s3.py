"""To be written."""
def name(request): return request.method
