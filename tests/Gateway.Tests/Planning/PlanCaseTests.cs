using System.Runtime.CompilerServices;
using Gateway.Planning;

namespace Gateway.Tests.Planning;

/// <summary>
/// Every folder of <c>Cases</c> states what must be: the catalog in <c>catalog.json</c> gives the plan in <c>plan.txt</c>. With
/// <c>GATEWAY_UPDATE_CASES=1</c> the files in the source tree are rewritten instead; review the difference against the contract.
/// </summary>
public sealed class PlanCaseTests
{
    private static readonly string Folder = Path.Combine(AppContext.BaseDirectory, "Planning", "Cases");

    public static TheoryData<string> Cases =>
        [.. Directory.EnumerateDirectories(Folder).Select(Path.GetFileName).Order(StringComparer.Ordinal).OfType<string>()];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Plan_is_as_stated(string name)
    {
        PlanInput input = PlanCase.Read(Path.Combine(Folder, name));
        Plan plan = new Planner().Plan(input);
        string text = PlanText.Render(plan);

        if (Environment.GetEnvironmentVariable("GATEWAY_UPDATE_CASES") == "1")
        {
            File.WriteAllText(Path.Combine(SourceFolder(), "Cases", name, "plan.txt"), text);
            return;
        }

        Assert.Equal(File.ReadAllText(Path.Combine(Folder, name, "plan.txt")), text);

        // The laws hold for every case too: planning upon one's own plan changes nothing.
        PlanInput again = input with { Present = plan.Listeners, PresentRoutes = plan.Routes };
        Assert.Equal(text, PlanText.Render(new Planner().Plan(again)));
    }

    private static string SourceFolder([CallerFilePath] string file = "") => Path.GetDirectoryName(file)!;
}
