"""The API's exchanges, replayed from cassettes/ with the network blocked; `make cassettes` records them anew."""
