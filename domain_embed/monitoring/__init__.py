"""What is watched once a model serves: the query log, the quality it shows, and when training again is due."""
