"""The Kubernetes objects of an instance, as plain JSON: how they are written, and what is read from them. Pure."""
