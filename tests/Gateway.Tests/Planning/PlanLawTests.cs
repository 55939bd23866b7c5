using FsCheck;
using FsCheck.Fluent;
using Gateway.Catalog;
using Gateway.Planning;

namespace Gateway.Tests.Planning;

/// <summary>What holds for every input, however bad.</summary>
public sealed class PlanLawTests
{
    [Fact]
    public void Order_of_the_input_does_not_matter() => Check(
        from input in PlanGenerators.AnyInput
        from seed in Gen.Choose(0, int.MaxValue)
        select (input, seed), sample =>
        {
            Random random = new(sample.seed);
            PlanInput shuffled = sample.input with
            {
                Catalogs = [.. sample.input.Catalogs.Select(c => c with
                {
                    Services = c.Services.ToImmutable(s => s with { Instances = Shuffle(random, s.Instances.Select(i => i with
                    {
                        Tags = Shuffle(random, i.Tags),
                        Meta = Shuffle(random, i.Meta),
                    })) }),
                })],
            };
            Same(new Planner().Plan(sample.input), new Planner().Plan(shuffled));
        });

    [Fact]
    public void Planning_upon_ones_own_plan_changes_nothing() => Check(PlanGenerators.AnyInput, input =>
    {
        Plan plan = new Planner().Plan(input);
        Same(plan, new Planner().Plan(input with { Present = plan.Listeners, PresentRoutes = plan.Routes }));
    });

    [Fact]
    public void A_planner_with_memories_plans_like_a_new_one() => Check(Gen.ArrayOf(PlanGenerators.AnyInput, 4), inputs =>
    {
        Planner planner = new();
        foreach (PlanInput input in inputs)
        {
            Plan fresh = new Planner().Plan(input);
            Same(fresh, planner.Plan(input));
            Same(fresh, planner.Plan(input));

            // The same facts under other options must be read again.
            PlanInput other = input with { Options = inputs[0].Options };
            Same(new Planner().Plan(other), planner.Plan(other));
        }
    }, samples: 60);

    [Fact]
    public void Same_input_twice_gives_the_same_objects() => Check(PlanGenerators.AnyInput, input =>
    {
        Planner planner = new();
        Plan first = planner.Plan(input);
        Plan second = planner.Plan(input with { Options = input.Options with { Reserved = [.. input.Options.Reserved] } });
        Assert.All(first.Listeners.Zip(second.Listeners), p => Assert.Same(p.First, p.Second));
        Assert.All(first.Routes.Zip(second.Routes), p => Assert.Same(p.First, p.Second));
        Assert.All(first.Clusters.Zip(second.Clusters), p => Assert.Same(p.First, p.Second));
    });

    [Fact]
    public void Old_plan_and_difference_make_the_new_plan() => Check(Gen.Two(PlanGenerators.AnyInput), inputs =>
    {
        Plan old = new Planner().Plan(inputs.Item1);
        Plan @new = new Planner().Plan(inputs.Item2);
        PlanDiff diff = PlanDiff.Between(old, @new);
        Same(@new, DiffApplication.Apply(old, diff));
        Assert.Equal(old == @new, diff.IsEmpty);
        Assert.Equal(diff.IsEmpty, PlanText.RenderDiff(diff).Length == 0);
        Assert.True(PlanDiff.Between(@new, @new with { }).IsEmpty);
    });

    [Fact]
    public void Plans_are_sorted_without_repeats_and_hang_together() => Check(PlanGenerators.AnyInput, input =>
    {
        Plan plan = new Planner().Plan(input);
        Ascending(plan.Listeners, PlanOrder.Listeners);
        Ascending(plan.Routes, PlanOrder.Routes);
        Ascending(plan.Clusters, PlanOrder.Clusters);
        Ascending(plan.Problems, PlanOrder.Problems);
        HashSet<string> clusters = [.. plan.Clusters.Select(c => c.Id)];
        HashSet<ListenerKey> catchAll = [.. plan.Routes.Where(r => r.Host == "*").Select(r => r.Listener)];
        Assert.All(plan.Routes, r => Assert.Contains(r.Cluster, clusters));
        Assert.All(plan.Listeners, l => Assert.Contains(l.Cluster, clusters));
        Assert.All(plan.Listeners, l => Assert.Equal(l.Protocol == ListenProtocol.Http, catchAll.Contains(l.Key)));
        Assert.All(plan.Listeners, l => Assert.DoesNotContain(input.Options.Reserved, r => r.Port == l.Key.Port));

        // No cluster without work, and no destination that is ourselves.
        HashSet<string> used = [.. plan.Routes.Select(r => r.Cluster), .. plan.Listeners.Select(l => l.Cluster)];
        Assert.All(plan.Clusters, c => Assert.Contains(c.Id, used));
        HashSet<int> ours = [.. plan.Listeners.Select(l => l.Key.Port), .. input.Options.Reserved.Select(r => r.Port)];
        foreach (ClusterPlan cluster in plan.Clusters)
        {
            Ascending(cluster.Destinations, PlanOrder.Destinations);
            Assert.DoesNotContain(
                cluster.Destinations, d => d.Address is "127.0.0.1" or "::1" or "localhost" && ours.Contains(d.Port) && !MayBeReached(cluster, d.Port));
            Assert.All(cluster.Destinations, d => Assert.InRange(d.Port, 1, 65535));
            Assert.All(cluster.Destinations, d => Assert.InRange(d.Weight, 0, 65535));
        }

        // The embedded catalog forwards nothing, so a static service may lead there.
        bool MayBeReached(ClusterPlan cluster, int port) => cluster.Environment == StaticServices.Environment
            && input.Options.Reserved.AsEnumerable().Any(r => r.Port == port && r.Owner == ReservedPort.EmbeddedCatalog);

        foreach (string line in PlanText.Render(plan).Split('\n'))
        {
            Assert.Matches("^$|^listener |^route |^cluster |^  destination |^problem ", line);
        }
    });

    [Fact]
    public void Garbage_never_costs_a_neighbor_anything() => Check(PlanGenerators.AnyInput, input =>
    {
        Service neighbor = Neighbor("10.9.9.9");
        PlanInput with = input with { Options = new PlanningOptions(), Catalogs = [.. input.Catalogs, Catalog(neighbor)] };
        Plan plan = new Planner().Plan(with);
        Plan alone = new Planner().Plan(new PlanInput { Catalogs = [Catalog(neighbor)] });
        Assert.All(alone.Listeners, l => Assert.Contains(l, plan.Listeners));
        Assert.All(alone.Routes, r => Assert.Contains(r, plan.Routes));
        Assert.All(alone.Clusters, c => Assert.Contains(c, plan.Clusters));
        Assert.DoesNotContain(plan.Problems, p => p.Service == neighbor.Name);
    });

    [Fact]
    public void A_change_of_one_service_leaves_the_others_the_same_objects() => Check(PlanGenerators.AnyInput, input =>
    {
        Planner planner = new();
        Service other = Neighbor("10.9.9.8");
        PlanInput before = input with { Options = new PlanningOptions(), Catalogs = [.. input.Catalogs, Catalog(Neighbor("10.9.9.9"))] };
        Plan old = planner.Plan(before);
        Plan @new = planner.Plan(before with { Catalogs = [.. input.Catalogs, Catalog(other)] });
        PlanDiff diff = PlanDiff.Between(old, @new);
        Assert.Empty(diff.ListenersAdded.Concat(diff.ListenersRemoved).Concat(diff.ListenersChanged.Select(c => c.New)));
        Assert.Equal("neighbor@production", Assert.Single(diff.ClustersChanged).New.Id);
        Assert.All(
            old.Clusters.Zip(@new.Clusters).Where(p => p.First.Service != other.Name),
            p => Assert.Same(p.First, p.Second));
        Assert.All(old.Listeners.Zip(@new.Listeners), p => Assert.Same(p.First, p.Second));
        Assert.All(old.Routes.Zip(@new.Routes), p => Assert.Same(p.First, p.Second));
    });

    private static Service Neighbor(string address) => new("neighbor", [new Instance
    {
        Service = "neighbor",
        Node = "n9",
        ServiceId = "neighbor-1",
        Address = address,
        Port = 31000,
        Tags = ["production", "internal-listen-http-7777", "balance-leastconn"],
    }]);

    private static CatalogSnapshot Catalog(Service service) => new()
    {
        Services = CatalogSnapshot.EmptyServices.Add(service.Name, service),
    };

    private static EquatableArray<T> Shuffle<T>(Random random, IEnumerable<T> items)
        where T : IEquatable<T>
    {
        T[] array = [.. items];
        random.Shuffle(array);
        return array.ToEquatableArray();
    }

    private static void Same(Plan expected, Plan actual)
    {
        Assert.Equal(PlanText.Render(expected), PlanText.Render(actual));
        Assert.Equal(expected, actual);
    }

    private static void Ascending<T>(EquatableArray<T> items, Comparison<T> order)
        where T : IEquatable<T>
    {
        for (int i = 1; i < items.Count; i++)
        {
            Assert.True(order(items[i - 1], items[i]) < 0, $"{items[i - 1]} before {items[i]}");
        }
    }

    private static void Check<T>(Gen<T> gen, Action<T> law, int samples = 200) =>
        FsCheck.Check.One(Config.QuickThrowOnFailure.WithMaxTest(samples), Prop.ForAll(Arb.From(gen), law));
}
