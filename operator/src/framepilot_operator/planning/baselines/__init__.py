"""Published planners, a file each, as far as they are known; to compare with, and scored by the same rule and cost."""
