"""intake: consumes `tickets` and `sla-clocks`, decides which customer and which ticket a contact belongs to, emits what customers
say and what became of replies on `tickets`, `customers` and `config`; owns the schema `intake`.
"""
