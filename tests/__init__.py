"""Tests mirror the source; the slow suites are chosen by marker."""
