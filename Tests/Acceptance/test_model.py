"""The model that judges the volumes: it accepts every instant of a history, and nothing else."""

import random
import unittest

from model import SECTOR, Model, content, find_instant

CAPACITY = 64 * SECTOR


class Instants(unittest.TestCase):
    def setUp(self):
        self.chooser = random.Random(3)
        self.model = Model(2, CAPACITY)
        self.images = [bytearray(CAPACITY) for _ in range(2)]
        self.seen = [[bytes(image) for image in self.images]]
        self.start = self.model.snapshot()
        for _ in range(40):
            self.step()

    def step(self):
        count = self.chooser.choice((1, 4, 9))
        step = self.model.begin(
            self.chooser.randrange(2), [(self.chooser.randrange(64 - count), count)],
            self.chooser.random() < 0.2, True)
        for sector in step.sectors():
            self.put(self.images, step, sector)
        self.model.settle(step)
        self.seen.append([bytes(image) for image in self.images])

    @staticmethod
    def put(images, step, sector):
        images[step.volume][sector * SECTOR:(sector + 1) * SECTOR] = content(
            step.volume, sector, step)

    def find(self, images, start=None, upto=40):
        return find_instant(self.model, images, start or self.start, upto)

    def test_every_instant_is_found(self):
        for number, images in enumerate(self.seen):
            found = self.find(images)
            self.assertLessEqual(found, number)
            # The whole of a step counts as a part of it too.
            self.assertTrue(images in self.seen[found:found + 2], (number, found))

    def test_any_part_of_the_step_that_follows_may_show(self):
        for number, images in enumerate(self.seen[:-1]):
            step = self.model.history[number]
            torn = [bytearray(image) for image in images]
            for sector in step.sectors():
                if self.chooser.random() < 0.5:
                    self.put(torn, step, sector)
            self.find(torn)

    def test_a_durable_step_that_is_missing_is_found_out(self):
        late = self.model.snapshot()
        with self.assertRaises(AssertionError):
            self.find(self.seen[38], start=late)

    def test_a_step_without_the_one_before_it_is_found_out(self):
        faults = 0
        for number in range(39):
            first, second = self.model.history[number:number + 2]
            if set(first.sectors()) & set(second.sectors()) or first.zero or second.zero:
                continue
            images = [bytearray(image) for image in self.seen[number]]
            for sector in second.sectors():
                self.put(images, second, sector)
            faults += 1
            with self.assertRaises(AssertionError):
                self.find(images)
        self.assertGreater(faults, 10)

    def test_volumes_of_different_instants_are_found_out(self):
        with self.assertRaises(AssertionError):
            self.find([self.seen[5][0], self.seen[40][1]])

    def test_a_step_that_was_not_begun_yet_is_found_out(self):
        with self.assertRaises(AssertionError):
            self.find(self.seen[40], upto=20)

    def test_bytes_that_nobody_wrote_are_found_out(self):
        images = [bytearray(image) for image in self.seen[40]]
        images[0][7] ^= 1
        with self.assertRaises(AssertionError):
            self.find(images)


if __name__ == "__main__":
    unittest.main()
