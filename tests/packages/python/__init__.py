"""Tests of `packages/python`."""
