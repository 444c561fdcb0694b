"""One module per Lambda function, each for one kind of event."""
