"""A contact centre in virtual time: what `simulator` plays, against the pure engine of routing and no servers at all."""
