"""Set up a cluster with everything that the overlay `local` needs, and delete it again."""
