using System.Reflection;
using System.Reflection.Emit;

namespace Gateway.Tests;

/// <summary>
/// Holds the table of rooms from STYLE and checks the compiled library against it: every type that a room's signatures, fields
/// and method bodies mention must live in a room that it may use.
/// </summary>
public sealed class ArchitectureTests
{
    private const string Root = "(root)";

    // Beyond STYLE's table (reasons in src/DECISIONS.md): Catalog's facts are plain values that every data-plane room and Admin
    // read; Configuration turns a file into every room's options; Admin shows sources.
    private static readonly Dictionary<string, string[]> s_mayUse = new()
    {
        ["Catalog"] = [],
        ["Observability"] = [],
        ["Planning"] = ["Catalog"],
        ["Discovery"] = ["Catalog", "Observability"],
        ["Loops"] = ["Observability"],
        ["Listening"] = ["Planning", "Loops", "Observability", "Catalog"],
        ["Health"] = ["Planning", "Loops", "Observability", "Catalog"],
        ["Balancing"] = ["Planning", "Health", "Catalog"],
        ["Tcp"] = ["Planning", "Loops", "Listening", "Health", "Balancing", "Observability", "Catalog"],
        ["Http"] = ["Planning", "Loops", "Listening", "Health", "Balancing", "Observability", "Catalog"],
        ["Control"] = ["Catalog", "Discovery", "Planning", "Listening", "Health", "Balancing", "Tcp", "Http", "Observability"],
        ["Lifecycle"] = ["Control", "Listening", "Health", "Balancing", "Tcp", "Http", "Observability"],
        ["Admin"] = ["Catalog", "Discovery", "Planning", "Control", "Listening", "Health", "Balancing", "Tcp", "Http", "Lifecycle", "Observability"],
        ["Configuration"] = ["Catalog", "Planning", "Discovery", "Control", "Listening", "Http", "Lifecycle", "Admin", "Observability", Root],
    };

    private static readonly OpCode[] s_oneByte = new OpCode[256];
    private static readonly OpCode[] s_twoByte = new OpCode[256];

    static ArchitectureTests()
    {
        foreach (FieldInfo field in typeof(OpCodes).GetFields(BindingFlags.Public | BindingFlags.Static))
        {
            OpCode code = (OpCode)field.GetValue(null)!;
            (code.Size == 1 ? s_oneByte : s_twoByte)[code.Value & 0xFF] = code;
        }
    }

    [Fact]
    public void Rooms_use_only_the_rooms_they_may()
    {
        SortedSet<string> broken = [];
        foreach (Type type in Library.GetTypes().Where(IsOurs))
        {
            string room = RoomOf(type);
            if (room == Root)
            {
                continue;
            }

            Assert.True(s_mayUse.ContainsKey(room), $"{type} is in '{room}', which is no room of the table");
            foreach (Type used in UsedBy(type))
            {
                string other = RoomOf(used);
                if (other != room && !s_mayUse[room].Contains(other))
                {
                    broken.Add($"{room} uses {other}: {Readable(type)} -> {Readable(used)}");
                }
            }
        }

        Assert.True(broken.Count == 0, string.Join('\n', broken));
    }

    [Fact]
    public void Only_the_configuration_room_sees_the_root_and_only_its_options() =>
        Assert.All(
            Library.GetTypes().Where(t => RoomOf(t) == "Configuration").SelectMany(UsedBy).Where(t => RoomOf(t) == Root),
            used => Assert.Equal("GatewayOptions", used.Name));

    [Fact]
    public void No_type_is_called_like_the_namespace() => Assert.DoesNotContain(Library.GetTypes(), t => t.Name == "Gateway");

    private static Assembly Library => typeof(Gateway.Planning.Planner).Assembly;

    private static bool IsOurs(Type type) => (type.Namespace ?? "").Split('.')[0] == "Gateway";

    private static string RoomOf(Type type)
    {
        string[] parts = (type.Namespace ?? "").Split('.');
        return parts switch
        {
            ["Gateway", "DataPlane", string room, ..] => room,
            ["Gateway", string room, ..] => room,
            _ => Root,
        };
    }

    private static string Readable(Type type) => (type.DeclaringType ?? type).FullName ?? type.Name;

    private static IEnumerable<Type> UsedBy(Type type)
    {
        HashSet<Type> found = [];
        Add(found, type.BaseType);
        foreach (Type implemented in type.GetInterfaces())
        {
            Add(found, implemented);
        }

        const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;
        foreach (FieldInfo field in type.GetFields(All))
        {
            Add(found, field.FieldType);
        }

        foreach (MethodBase method in type.GetMethods(All).Concat<MethodBase>(type.GetConstructors(All)))
        {
            foreach (ParameterInfo parameter in method.GetParameters())
            {
                Add(found, parameter.ParameterType);
            }

            Add(found, (method as MethodInfo)?.ReturnType);
            AddBody(found, method);
        }

        // What the compiler makes for itself (collection expressions, regexes) lives in no namespace of ours.
        return found.Where(t => t.Assembly == Library && IsOurs(t));
    }

    private static void AddBody(HashSet<Type> found, MethodBase method)
    {
        if (method.GetMethodBody() is not { } body || body.GetILAsByteArray() is not { } il)
        {
            return;
        }

        foreach (LocalVariableInfo local in body.LocalVariables)
        {
            Add(found, local.LocalType);
        }

        Type[] ofType = method.DeclaringType is { IsGenericType: true } t ? t.GetGenericArguments() : [];
        Type[] ofMethod = method.IsGenericMethod ? method.GetGenericArguments() : [];
        for (int i = 0; i < il.Length;)
        {
            OpCode code = il[i] == 0xFE ? s_twoByte[il[i + 1]] : s_oneByte[il[i]];
            i += code.Size;
            switch (code.OperandType)
            {
                case OperandType.InlineField or OperandType.InlineMethod or OperandType.InlineTok or OperandType.InlineType:
                    MemberInfo? member = method.Module.ResolveMember(BitConverter.ToInt32(il, i), ofType, ofMethod);
                    Add(found, member as Type ?? member?.DeclaringType);
                    foreach (Type argument in member is MethodInfo { IsGenericMethod: true } generic ? generic.GetGenericArguments() : [])
                    {
                        Add(found, argument);
                    }

                    i += 4;
                    break;
                case OperandType.InlineSwitch:
                    i += 4 + (4 * BitConverter.ToInt32(il, i));
                    break;
                case OperandType.InlineI8 or OperandType.InlineR:
                    i += 8;
                    break;
                case OperandType.InlineNone:
                    break;
                case OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar:
                    i += 1;
                    break;
                case OperandType.InlineVar:
                    i += 2;
                    break;
                default:
                    i += 4;
                    break;
            }
        }
    }

    private static void Add(HashSet<Type> found, Type? type)
    {
        if (type is null || type.IsGenericParameter)
        {
            return;
        }

        if (type.HasElementType)
        {
            Add(found, type.GetElementType());
            return;
        }

        if (type.IsGenericType)
        {
            foreach (Type argument in type.GetGenericArguments())
            {
                Add(found, argument);
            }

            type = type.GetGenericTypeDefinition();
        }

        found.Add(type);
    }
}
