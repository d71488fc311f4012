"""Problems: what is tuned, as stages of shards for the runtime to run. Know no Ray."""
