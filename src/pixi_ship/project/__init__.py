"""What of a project, besides its environment, goes into an image: files, and a task to run."""
