"""What is kept on disk: baselines, and the documents of every run and session."""
