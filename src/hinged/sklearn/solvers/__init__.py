"""The methods that train the network of an estimator."""
