"""What jobs of an environment cost the nodes of a cluster, by how the environment gets there."""
