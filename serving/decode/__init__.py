"""Request bodies decoded and checked: v1, v2 and KServe's data plane."""
