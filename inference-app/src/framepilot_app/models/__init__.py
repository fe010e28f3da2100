"""Models as folders of data: described, verified, packed and stored."""
