"""A script whose code lives beside its data: run it twice."""

import transaction

import persistmod

FIRST = '''
from persistent import Persistent

RATE = 100


class Basket(Persistent):
    def __init__(self):
        self.prices = []

    def put(self, price):
        self.prices = [*self.prices, price]

    def total(self):
        return sum(self.prices) * RATE // 100
'''

SECOND = FIRST.replace("RATE = 100", "RATE = 90")

db = persistmod.open_db("app.fs")
connection = db.open()
registry = persistmod.get_registry(connection)
root = connection.root()

if "shop" not in registry:
    registry.add("shop", FIRST)
    transaction.commit()
    print("module shop is in the database")

with persistmod.importing(registry):
    import shop  # no file has this name

    basket = root.setdefault("basket", shop.Basket())
    total = basket.total  # a bound method that is held
    basket.put(1000)
    transaction.commit()
    print(f"version {registry['shop'].version}, {len(basket.prices)} in the basket, total {total()}")

    plan = registry.update("shop", SECOND)
    print(plan)
    print(f"updated: total {total()}")
    transaction.abort()
    print(f"aborted: total {total()}")

    registry.update("shop", SECOND)
    transaction.commit()
    print(f"updated and committed: total {total()}, version {registry['shop'].version}")

db.close()
