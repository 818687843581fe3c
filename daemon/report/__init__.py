"""What people and machines are told: results, words, progress, health, notifications."""
