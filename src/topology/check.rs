//! From the file to a topology.
