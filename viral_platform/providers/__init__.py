"""The outside world behind small protocols: language models, scraped posts, what they cost."""
