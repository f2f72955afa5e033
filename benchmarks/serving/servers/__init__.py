"""One small server a module: the plainest code that each framework's own documentation shows."""
