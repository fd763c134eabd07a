//! Query to plan to sightings to answer.
