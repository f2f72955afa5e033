"""One small server a module, with the simplest code of each framework's documentation."""
