"""What teams test their own jobs with: a pytest plugin. Touches pytest."""
