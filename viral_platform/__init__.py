"""How far a TikTok is likely to go, why, and what to change: a self-hosted data platform."""
