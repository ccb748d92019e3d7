"""Nodes as processes on a real network."""
