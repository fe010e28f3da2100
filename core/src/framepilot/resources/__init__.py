"""The resource types of `framepilot.dev/v1alpha1`, and their CRDs, generated from them."""
