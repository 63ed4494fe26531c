"""Running agents: programs, known ones among them, language models and recordings."""
