"""When the comparison with the figures that were written down speaks up, and what the chart shows."""

import os
import tempfile
import unittest
import xml.dom.minidom

import baseline
import chart

WAS = {"figures": {"kernel": 100.0, "agent": 1.0, "ISO, bytes": 1000}, "functions": {"f": 10.0, "gone": 2.0}}


class Baseline(unittest.TestCase):
    def test_what_is_within_three_per_cent_passes(self):
        self.assertEqual(baseline.regressions(WAS, {"kernel": 103.0, "agent": 1.1, "ISO, bytes": 1030}), [])
        self.assertEqual(baseline.regressions(WAS, {"kernel": 50.0, "agent": 0.1, "ISO, bytes": 1}), [])

    def test_each_figure_beyond_it_is_named(self):
        said = baseline.regressions(WAS, {"kernel": 103.2, "agent": 1.2, "ISO, bytes": 1031})
        self.assertEqual([line.split(":")[0] for line in said], ["kernel", "agent", "ISO, bytes"])
        self.assertIn("103.2 instead of 100.0, +3.2 %", said[0])

    def test_a_figure_that_is_gone_is_named(self):
        self.assertEqual(baseline.regressions(WAS, {"kernel": 1, "agent": 1}),
                         ["ISO, bytes: is no longer measured; it was 1000"])

    def test_the_difference_begins_with_what_grew_most(self):
        self.assertEqual(baseline.difference(WAS, {"f": 12.5, "new": 1.0, "same": 0.01}),
                         [(2.5, 12.5, "f"), (1.0, 1.0, "new"), (-2.0, 0, "gone")])

    def test_it_comes_back_from_its_file(self):
        with tempfile.TemporaryDirectory() as scratch:
            path = os.path.join(scratch, "b.json")
            baseline.write(path, WAS["figures"], WAS["functions"])
            self.assertEqual(baseline.read(path), WAS)


class Chart(unittest.TestCase):
    def test_it_is_xml_with_every_name_and_bars_in_proportion(self):
        picture = xml.dom.minidom.parseString(
            chart.svg("a <boot>", [("first", 10.0), ("second", 30.0)], [("step", 3.0)], [("f<1>", 2.0), ("g", 1.0)]))
        words = [node.firstChild.data for node in picture.getElementsByTagName("text")]
        for word in ("a <boot>", "10.00  first", "step", "f<1>", "2.00"):
            self.assertIn(word, words)
        bars = {node.getElementsByTagName("title")[0].firstChild.data: float(node.getAttribute("width"))
                for node in picture.getElementsByTagName("rect") if node.getElementsByTagName("title")}
        self.assertAlmostEqual(bars["second: 30.00"] / bars["first: 10.00"], 3, 2)
        self.assertAlmostEqual(bars["f<1>"] / bars["g"], 2, 2)


if __name__ == "__main__":
    unittest.main()
